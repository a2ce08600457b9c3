// Exit: what the process ends with. Scripts may rely on these.
#pragma once

namespace sluice::tool {

enum class Exit : int {
  good = 0,
  found_wrong = 1,   // it ran, and what it looked at is not as it should be
  bad_command = 2,   // the command line makes no sense; nothing was done
  could_not_run = 3  // this machine or process refused something that the verb needs, or its output
};

}  // namespace sluice::tool
