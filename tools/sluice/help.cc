// Lays help out for the reader's terminal. See help.hpp. CLI11 gathers the pieces, but it breaks no
// lines, and it shows the numeric values behind the names that an option takes, which are useless.

#include "help.hpp"

#include <string>

#include "text.hpp"

namespace sluice::tool {
namespace {

constexpr std::size_t column = 30;

class Formatter : public CLI::Formatter {
 public:
  std::string make_description(const CLI::App* app) const override {
    return wrapped(app->get_description(), 0, 0) + "\n\n";
  }

  // Examples keep their indent when they are broken.
  std::string make_footer(const CLI::App* app) const override {
    const std::string text = app->get_footer();
    std::string footer;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const std::string line = text.substr(begin, end - begin);
      const bool is_example = line.starts_with("  ");
      footer += wrapped(line, 0, is_example ? 6 : 0) + '\n';
      begin = end + 1;
    }
    return footer;
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    return entry(make_option_name(option, is_positional) + make_option_opts(option),
                 make_option_desc(option), column);
  }

  std::string make_subcommand(const CLI::App* verb) const override {
    return entry(verb->get_display_name(true), verb->get_description(), column);
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return {};
    // "INT:INT in [1 - 64]": the last part is the most useful.
    std::string type = option->get_type_name();
    if (const std::size_t colon = type.rfind(':'); colon != std::string::npos)
      type.erase(0, colon + 1);
    if (!type.empty()) type.insert(0, " ");
    if (!option->get_default_str().empty()) type += " (default " + option->get_default_str() + ")";
    return type;
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> help_formatter() { return std::make_shared<Formatter>(); }

}  // namespace sluice::tool
