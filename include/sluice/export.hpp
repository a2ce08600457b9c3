// Marks the symbols that libsluice.so exports. cmake/sluice.map lists them again, so that nothing
// is exported by accident.
#pragma once

#define SLUICE_EXPORT [[gnu::visibility("default")]]
