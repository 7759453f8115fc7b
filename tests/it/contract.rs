//! Every recorded screen and stream reads as somebody wrote down that it does.

use std::path::Path;

use agents::contract;

#[test]
fn every_fixture_reads_as_it_was_written_down() {
    let cases = contract::check(Path::new("session-fixtures")).unwrap();
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| !case.differences.is_empty())
        .map(|case| format!("{}:\n    {}", case.name, case.differences.join("\n    ")))
        .collect();
    println!("fixtures: {} checked, {} differ", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(cases.len() > 100, "{} fixtures only: did the folder move?", cases.len());
}
