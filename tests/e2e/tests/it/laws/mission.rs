//! The mission names a test for each sentence that is done, and each of them is there.

use super::threat_model::tests_named_in;
use crate::Outcome;

#[test]
fn every_test_that_the_mission_names_exists() -> Outcome {
    let named = tests_named_in("docs/mission.md")?;
    assert!(named > 45, "{named} rows name a test");
    Ok(())
}
