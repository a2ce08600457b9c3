// Puts the document into the page's text (page_style.cc, page_script.cc).
//
// What it does not do: draw. The page's script does, at the width of the reader's screen.

#include "report/page.hpp"

#include "report/page_parts.hpp"

namespace sluice::tool::report {
namespace {

// A program's names may hold "</script>".
std::string inside_script(const Json& document) {
  std::string text;
  for (const char c : document.dump(-1, ' ', false, Json::error_handler_t::replace))
    text += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return text;
}

std::string in_html(const std::string& text) {
  std::string safe;
  for (const char c : text)
    safe += c == '<' ? std::string("&lt;") : c == '&' ? std::string("&amp;") : std::string(1, c);
  return safe;
}

}  // namespace

std::string page(const Json& document) {
  std::string text =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n"
      "<title>";
  text += in_html(document.value("program", "")) + " – Sluice report</title>\n<style>";
  text += page_style;
  text += "</style>\n</head>\n<body>\n<main id=\"main\"></main>\n";
  text += "<noscript>This page needs JavaScript to draw; it loads nothing.</noscript>\n";
  text += "<script type=\"application/json\" id=\"data\">";
  text += inside_script(document);
  text += "</script>\n<script>";
  text += page_script;
  text += "</script>\n</body>\n</html>\n";
  return text;
}

}  // namespace sluice::tool::report
