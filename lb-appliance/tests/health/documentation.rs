//! docs/health.md has a row for every cause and every kind, and tells each cause as the program does.

use lb_appliance::health::Cause;

#[test]
fn every_cause_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/health.md");
    let text = std::fs::read_to_string(path).expect("docs/health.md");
    let causes =
        text.split("## Causes").nth(1).expect("the chapter").split("\n## ").next().unwrap_or_default();
    for cause in Cause::ALL {
        let row = causes.lines().find(|line| line.starts_with(&format!("| `{cause}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for {cause}"));
        // The page may say more, but begins with the same words.
        let begin: String = cause.help().chars().take(30).collect();
        assert!(row.contains(begin.trim_end_matches('.')), "{row}: {}", cause.help());
    }
    for kind in ["tcp", "http", "https", "udp", "dns", "grpc", "command", "agent"] {
        assert!(
            text.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{kind}`"))),
            "{kind}"
        );
    }
}
