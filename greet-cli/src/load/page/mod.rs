//! Builds the HTML page of a report: one file without libraries, because reports are kept, attached to
//! tickets, and read on machines without a network.

use serde_json::Value;

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const SCRIPT_PLACEHOLDER: &str = "__SCRIPT__";
const REPORT_PLACEHOLDER: &str = "__REPORT_JSON__";

/// Returns the HTML page of a report.
pub(crate) fn page(report: &Value) -> String {
    // A `<` could end the script element.
    let report = report.to_string().replace('<', "\\u003c");
    PAGE.replace(SCRIPT_PLACEHOLDER, SCRIPT).replace(REPORT_PLACEHOLDER, &report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_each_placeholder_once() {
        for placeholder in [SCRIPT_PLACEHOLDER, REPORT_PLACEHOLDER] {
            assert_eq!(PAGE.matches(placeholder).count(), 1);
            assert!(!SCRIPT.contains(placeholder));
        }
    }

    #[test]
    fn page_loads_nothing_from_network() {
        assert!(PAGE.contains("default-src 'none'"), "browsers enforce it");
        for elsewhere in ["src=", "href=\"http", "@import", "url(", "fetch("] {
            assert!(!PAGE.contains(elsewhere) && !SCRIPT.contains(elsewhere), "{elsewhere}");
        }
    }
}
