// What libsluice.so shows. cmake/sluice.map names the same things once more, so that nothing is
// exported by accident.
#pragma once

#define SLUICE_EXPORT [[gnu::visibility("default")]]
