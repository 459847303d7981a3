//! `doctor`: what there is, and what to do about what is not.

use crate::start::run;

#[test]
fn every_row_has_a_state_and_what_is_missing_says_what_follows() {
    let json = run(["doctor", "--json"]).ended(0).json();
    assert_eq!(json["schema"], "mapwright.doctor/1");
    let rows = json["capabilities"].as_array().unwrap();
    assert!(rows.len() > 10, "{json}");
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap();
        assert!(["have", "off", "missing"].contains(&text("state")), "{row}");
        assert!(!text("name").is_empty() && !text("purpose").is_empty(), "{row}");
        assert!(text("state") == "have" || !text("without").is_empty(), "{row}");
    }
}

#[test]
fn the_report_is_grouped_and_fits() {
    let run = run(["doctor"]).ended(0);
    for heading in ["Kernel", "Memory", "This process", "This place"] {
        assert!(run.out.lines().any(|line| line == heading), "{}", run.out);
    }
    assert!(run.out.lines().last().unwrap().contains("missing"), "{}", run.out);
    assert!(run.out.contains('\u{2713}'), "{}", run.out);
}
