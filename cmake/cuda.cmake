# sluice_cuda_image(<target> <kernels> <source> <definition> <dependency>...): compiles the kernels, a .cu file, to an image for GPUs, which
# <source> embeds: there the definition is the image's path. Without NVIDIA's compiler there is no target and no definition. The image
# has portable code, which the driver compiles when it loads it, and code for the GPUs of today.
find_program(NVCC_PROGRAM nvcc HINTS /usr/local/cuda/bin)

function(sluice_cuda_image target kernels source definition)
  if(NOT NVCC_PROGRAM)
    return()
  endif()
  set(image ${CMAKE_CURRENT_BINARY_DIR}/${target}.fatbin)
  set(kernels ${CMAKE_CURRENT_SOURCE_DIR}/${kernels})
  add_custom_command(
    OUTPUT ${image}
    COMMAND ${NVCC_PROGRAM} -std=c++17 -O2 -I${PROJECT_SOURCE_DIR}/include -I${CMAKE_CURRENT_SOURCE_DIR} -fatbin -gencode arch=compute_75,code=compute_75
            -gencode arch=compute_90,code=sm_90 -o ${image} ${kernels}
    DEPENDS ${kernels} ${ARGN}
    VERBATIM)
  add_custom_target(${target} DEPENDS ${image})
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS ${image} COMPILE_DEFINITIONS "${definition}=\"${image}\"")
endfunction()
