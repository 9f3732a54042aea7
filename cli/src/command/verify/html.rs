//! The report as one page for people: to be read, printed and filed. No script, and nothing that is fetched from elsewhere.
//!
//! The page is made of the JSON report, so it says what that says. All of it may come from outside, so all of it is escaped.

use serde_json::Value;

/// The page of a report.
pub(super) fn page(report: &Value) -> String {
    let mut html = Html(HEAD.to_owned());
    html.verdict("h1", "Verification of evidence", report["passed"] == true, None);
    let program = &report["program"];
    html.raw("<table class=facts>");
    html.fact("Checked at", &report["time"]);
    html.fact("Checked with", &format!("{} {}", plain(&program["name"]), plain(&program["version"])).into());
    html.raw("</table>");
    for result in list(&report["results"]) {
        html.result(result);
    }
    html.trust(report);
    html.raw(LEGEND);
    html.raw("</body></html>\n");
    html.0
}

struct Html(String);

impl Html {
    fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Text, whatever is in it. Characters that are not shown, or that turn the direction of writing, could make a line say something else.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if c.is_control() || is_invisible(c) => {
                    self.0.push_str(&format!("<i>U+{:04X}</i>", u32::from(c)));
                }
                c => self.0.push(c),
            }
        }
    }

    fn verdict(&mut self, heading: &'static str, title: &str, passed: bool, checks: Option<&Value>) {
        let (class, word) = if passed {
            ("passed", "PASSED")
        } else if checks.is_some_and(|checks| !list(checks).iter().any(|check| check["outcome"] == "failed"))
        {
            ("indeterminate", "NOT DECIDED")
        } else {
            ("failed", "NOT PASSED")
        };
        self.0.push_str(&format!("<{heading}>"));
        self.text(title);
        self.0.push_str(&format!(": <span class={class}>{word}</span></{heading}>"));
    }

    /// A row of a name and a value, unless that is absent.
    fn fact(&mut self, name: &'static str, value: &Value) {
        if value.is_null() {
            return;
        }
        self.raw("<tr><th>");
        self.raw(name);
        self.raw("</th><td>");
        self.text(&plain(value));
        self.raw("</td></tr>");
    }

    fn result(&mut self, result: &Value) {
        self.raw("<section>");
        self.verdict("h2", &plain(&result["path"]), result["passed"] == true, result.get("checks"));
        self.raw("<table class=facts>");
        self.fact("Kind", &result["kind"]);
        self.fact("SHA-256 of the file", &result["sha256"]);
        self.fact("Could not be read", &result["error"]);
        for (name, member) in
            [("Records", "records"), ("passed", "passed"), ("failed", "failed"), ("not decided", "undecided")]
        {
            self.fact(name, &result["counts"][member]);
        }
        self.statement(&result["statement"]);
        self.raw("</table>");
        self.checks(&result["checks"]);
        for record in list(&result["records"]) {
            let title = format!("Record {}", plain(&record["sequence"]));
            self.verdict("h3", &title, record["passed"] == true, record.get("checks"));
            self.raw("<table class=facts>");
            self.statement(&record["statement"]);
            self.raw("</table>");
            self.checks(&record["checks"]);
        }
        self.raw("</section>");
    }

    /// What the evidence says about itself.
    fn statement(&mut self, statement: &Value) {
        for (name, member) in [
            ("Message", "kind"),
            ("Message id", "message_id"),
            ("Client", "client"),
            ("Service", "service"),
            ("Signed by", "signer"),
            ("Certificate of", "certificate"),
            ("Signing time (the signer's word)", "signing_time"),
            ("Timestamp (the authority's word)", "timestamp"),
        ] {
            self.fact(name, &statement[member]);
        }
    }

    fn checks(&mut self, checks: &Value) {
        if list(checks).is_empty() {
            return;
        }
        self.raw("<table class=checks><thead><tr><th>Check</th><th>Outcome</th><th>Reason</th><th>Clause</th></tr></thead><tbody>");
        let mut about = &Value::Null;
        for check in list(checks) {
            if &check["file"] != about {
                about = &check["file"];
                self.raw("<tr><th colspan=4>");
                self.text(about.as_str().unwrap_or("the whole container"));
                self.raw("</th></tr>");
            }
            let (class, word) = match check["outcome"].as_str() {
                Some("passed") => ("passed", "passed"),
                Some("failed") => ("failed", "failed"),
                Some("not_applicable") => ("na", "not applicable"),
                _ => ("indeterminate", "indeterminate"),
            };
            self.raw("<tr><td><code>");
            self.text(&plain(&check["name"]));
            self.0.push_str(&format!("</code></td><td class={class}>{word}</td><td>"));
            self.text(&plain(&check["reason"]));
            self.raw("</td><td>");
            self.text(check["clause"].as_str().unwrap_or_default());
            self.raw("</td></tr>");
        }
        self.raw("</tbody></table>");
    }

    fn trust(&mut self, report: &Value) {
        self.raw("<section><h2>Trust used</h2><table class=facts>");
        let (snapshot, conf) = (&report["snapshot"], &report["globalconf"]);
        let anchor = &snapshot["anchor"];
        self.fact("Anchor", &anchor["path"]);
        self.facts("SHA-256 of a root key", &anchor["root_keys_sha256"]);
        self.fact("Root keys that must have signed", &anchor["root_threshold"]);
        self.fact("Registry snapshot", &snapshot["path"]);
        self.fact("SHA-256 of the snapshot", &snapshot["sha256"]);
        self.fact("Version", &snapshot["version"]);
        self.fact("Instance", &snapshot["instance"]);
        self.fact("Environment", &snapshot["environment"]);
        self.fact("Issued", &snapshot["issued"]);
        self.fact("Expires", &snapshot["expires"]);
        self.fact("X-Road configuration directory, taken as given", &conf["path"]);
        self.fact("Instance", &conf["instance"]);
        for document in list(&conf["documents"]) {
            self.fact("Document", &document["path"]);
            self.fact("SHA-256 of the document", &document["sha256"]);
        }
        self.facts("Passed over", &conf["passed_over"]);
        self.raw("</table></section>");
    }

    fn facts(&mut self, name: &'static str, values: &Value) {
        list(values).iter().for_each(|value| self.fact(name, value));
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A string as it is, anything else as JSON has it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Format characters, among them those for right-to-left text, and what looks like nothing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// With a policy for browsers that would refuse whatever should be fetched or run.
const HEAD: &str = "<!DOCTYPE html>
<html lang=en><head><meta charset=utf-8>
<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>Verification of evidence</title>
<style>
body{font:11pt/1.4 serif;max-width:60em;margin:2em auto;padding:0 1em;color:#000;background:#fff}
h1{font-size:1.6em}h2{font-size:1.2em;overflow-wrap:anywhere;border-top:1px solid #000;padding-top:.6em}
table{border-collapse:collapse;width:100%;margin:.6em 0}
th,td{text-align:left;vertical-align:top;padding:.15em .6em .15em 0;overflow-wrap:anywhere}
.facts th{width:16em;font-weight:normal;color:#444}
.checks{font-size:.85em}.checks th{border-bottom:1px solid #000}.checks td{border-bottom:1px solid #ccc}
.checks td:first-child{overflow-wrap:normal;white-space:nowrap}
.passed{color:#060}.failed{color:#a00;font-weight:bold}.indeterminate{color:#850;font-weight:bold}.na{color:#555}
i{font-size:.8em;color:#a00}
@page{margin:2cm}
@media print{body{max-width:none;margin:0;padding:0}tr{break-inside:avoid}h2,h3{break-after:avoid}thead{display:table-header-group}}
</style></head><body>
";

const LEGEND: &str = "<section><h2>How to read this</h2><p>What the evidence says about itself is to be believed only under the verdict PASSED: then every check that applies has passed. \
A failed check means that the evidence must not be believed; an indeterminate one, that something is missing that it needs. The clause names the rule that a check goes by; \
\u{201c}Kogge evidence\u{201d} is the document docs/evidence.md of this program. Compare the digest of the root key with what the operator of the instance says by another way.</p></section>";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_comes_from_outside_is_only_text() {
        let hostile = "</td><script src=//x>alert(1)</script>\"' onload=\u{202e}\u{0}&amp;";
        let check = json!({ "name": hostile, "outcome": hostile, "reason": hostile, "clause": hostile, "file": hostile });
        let statement = json!({
            "kind": hostile, "client": hostile, "service": hostile, "message_id": hostile,
            "signer": hostile, "certificate": hostile, "signing_time": hostile, "timestamp": hostile,
        });
        let record = json!({ "sequence": 1, "passed": false, "statement": statement, "checks": [check] });
        let report = json!({
            "passed": false, "program": { "name": hostile, "version": hostile }, "time": hostile,
            "snapshot": { "path": hostile, "instance": hostile, "anchor": { "path": hostile, "root_keys_sha256": [hostile] } },
            "globalconf": { "path": hostile, "instance": hostile, "passed_over": [hostile], "documents": [{ "path": hostile }] },
            "results": [
                { "path": hostile, "kind": hostile, "error": hostile, "passed": false },
                { "path": hostile, "kind": "log", "passed": false, "checks": [check], "records": [record] },
            ],
        });
        let page = page(&report);
        let body = page.split_once("<body>").unwrap().1;
        assert!(!body.contains("<script") && !body.contains('"') && !body.contains("' onload"), "{body}");
        assert!(!body.contains('\u{202e}') && !body.contains('\u{0}'));
        assert!(body.matches("&lt;/td&gt;&lt;script src=//x&gt;").count() > 20, "{body}");
        assert!(body.contains("<i>U+202E</i><i>U+0000</i>&amp;amp;"));
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let page = page(&json!({ "passed": true, "results": [] }));
        assert!(
            page.contains("<h1>Verification of evidence: <span class=passed>PASSED</span></h1>"),
            "{page}"
        );
        for outside in ["<script", "<link", "<img", "http://", "https://", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'") && page.contains("@media print"));
    }

    #[test]
    fn what_is_undecided_is_not_called_failed() {
        let report = |outcome: &str| {
            let check =
                json!({ "name": "timestamp.present", "outcome": outcome, "reason": "", "clause": null });
            page(
                &json!({ "passed": false, "results": [{ "path": "a", "passed": false, "checks": [check] }] }),
            )
        };
        assert!(report("indeterminate").contains("<h2>a: <span class=indeterminate>NOT DECIDED</span></h2>"));
        assert!(report("failed").contains("<h2>a: <span class=failed>NOT PASSED</span></h2>"));
    }
}
