//! The parts of a course as the contract carries them.

use proto::registry::{ClinicalState as StateView, Stay as StayView, Test as TestView};

use super::model::{ClinicalState, Stay, Test};

impl From<Test> for TestView {
    fn from(test: Test) -> Self {
        Self {
            method: test.method.into(),
            specimen: test.specimen.into(),
            result: test.result.into(),
            sampled_date: data::text(test.sampled_on),
            result_date: data::text(test.result_on),
            expected_date: data::text(test.expected_on),
            facility_id: data::text(test.facility_id),
            is_administrative: test.administrative,
            fact_id: String::new(),
        }
    }
}

impl From<Stay> for StayView {
    fn from(stay: Stay) -> Self {
        let time = |at: time::Time| format!("{:02}:{:02}", at.hour(), at.minute());
        Self {
            placement: stay.placement.into(),
            since_date: stay.since.to_string(),
            facility_id: data::text(stay.facility_id),
            since_time_of_day: stay.since_time.map(time).unwrap_or_default(),
            until_date: String::new(),
            fact_id: String::new(),
        }
    }
}

impl From<ClinicalState> for StateView {
    fn from(state: ClinicalState) -> Self {
        Self {
            observation_date: state.on.to_string(),
            severity: state.severity.into(),
            icu: state.icu,
            ventilator: state.ventilator,
            ecmo: state.ecmo,
            fact_id: String::new(),
        }
    }
}
