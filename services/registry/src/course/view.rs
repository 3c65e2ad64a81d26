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
        }
    }
}

impl From<Stay> for StayView {
    fn from(stay: Stay) -> Self {
        Self {
            placement: stay.placement.into(),
            since_date: stay.since.to_string(),
            facility_id: data::text(stay.facility_id),
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
        }
    }
}
