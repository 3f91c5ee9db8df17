//! The page of a load test: the report, and all that is needed to plot it, in one file.

use super::report::LoadReport;

const PAGE: &str = include_str!("report.html");
const PLACE: &str = "__REPORT_JSON__";

/// The page for this report.
pub(crate) fn page(report: &LoadReport) -> String {
    let json = serde_json::to_string(report).expect("a report has only strings as keys");
    // In a script element, `<` might begin its end.
    PAGE.replace(PLACE, &json.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_place_for_the_report() {
        assert_eq!(PAGE.matches(PLACE).count(), 1);
    }

    #[test]
    fn the_page_needs_no_network() {
        assert!(PAGE.contains("default-src 'none'"), "and browsers hold it to that");
        for elsewhere in ["src=", "href=\"http", "@import", "url(", "fetch("] {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
    }
}
