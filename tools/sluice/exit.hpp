// Exit: the exit statuses of the process. Scripts may rely on these.
#pragma once

namespace sluice::tool {

enum class Exit : int {
  good = 0,
  found_wrong = 1,   // it ran, and found a problem
  bad_command = 2,   // the command line is invalid; nothing was done
  could_not_run = 3  // this machine or process refused something that the verb needs, or its output
};

}  // namespace sluice::tool
