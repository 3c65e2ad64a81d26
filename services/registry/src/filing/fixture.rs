//! What tests let notification tell.

use std::collections::HashMap;

use access::CaseId;
use data::Failure;
use proto::{
    notification::{FiledForm, Form, NotificationAmended, NotificationFiled, NotificationWithdrawn, Purpose, Subject},
    registry::{DiagnosisClass, Sex},
};
use runtime::clock::to_proto;
use testing::{Body, NOW};
use time::Duration;
use uuid::Uuid;

use super::Hears;
use crate::fixture::Scene;

impl Scene {
    /// Notification tells of a filing.
    pub(crate) async fn file(
        &self,
        reporter: Body,
        centre: Body,
        case: Option<CaseId>,
        form: Form,
    ) -> Result<Uuid, Failure> {
        let id = Uuid::now_v7();
        let filed = filed(id, reporter, centre, case);
        let event = self.world.event(&filed).map_err(|error| Failure::Dead(error.to_string()))?;
        let forms = HashMap::from([held(id, reporter, centre, form)]);
        self.world.hear_with(&self.filings(), &[event], &forms).await?;
        Ok(id)
    }

    /// Notification tells of an amended form in Osaka's inbox.
    pub(crate) async fn amend(&self, id: Uuid, version: i32, reporter: Body, form: Form) -> Result<(), Failure> {
        self.amend_in(self.osaka, id, version, reporter, form).await
    }

    pub(crate) async fn amend_in(
        &self,
        centre: Body,
        id: Uuid,
        version: i32,
        reporter: Body,
        form: Form,
    ) -> Result<(), Failure> {
        let amended =
            NotificationAmended { notification_id: id.to_string(), version, ..NotificationAmended::default() };
        let event = self.world.event(&amended).map_err(|error| Failure::Dead(error.to_string()))?;
        let (key, first) = held(id, reporter, centre, form);
        let filed_at = Some(to_proto(NOW + Duration::minutes(version.into())));
        let form = FiledForm { version, receive_time: filed_at, ..first };
        self.world.hear_with(&self.filings(), &[event], &HashMap::from([(key, form)])).await
    }

    /// Notification tells that one was withdrawn.
    pub(crate) async fn withdraw(&self, id: Uuid) -> Result<(), Failure> {
        let withdrawn = NotificationWithdrawn { notification_id: id.to_string(), ..NotificationWithdrawn::default() };
        let event = self.world.event(&withdrawn).map_err(|error| Failure::Dead(error.to_string()))?;
        self.world.hear_with(&self.filings(), &[event], &HashMap::new()).await
    }

    /// What listens to notification.
    pub(crate) fn filings(&self) -> Hears {
        Hears::new(&self.world.base).expect("notification has an address")
    }
}

pub(crate) fn filed(id: Uuid, reporter: Body, centre: Body, case: Option<CaseId>) -> NotificationFiled {
    NotificationFiled {
        notification_id: id.to_string(),
        reporter_id: reporter.id.to_string(),
        receiving_centre_id: centre.id.to_string(),
        case_id: data::text(case),
        ..NotificationFiled::default()
    }
}

/// What notification answers when the registry asks for a form, filed now.
pub(crate) fn held(id: Uuid, reporter: Body, centre: Body, form: Form) -> (String, FiledForm) {
    let held = FiledForm {
        notification_id: id.to_string(),
        form: Some(form),
        version: 1,
        receive_time: Some(to_proto(NOW)),
        receiving_centre_id: centre.id.to_string(),
        reporter_id: reporter.id.to_string(),
        withdraw_time: None,
        number: receipt_number(id),
    };
    (id.to_string(), held)
}

/// The number that notification gave a filing.
pub(crate) fn receipt_number(id: Uuid) -> String {
    let drawn: String = id.simple().to_string().chars().rev().take(8).collect();
    format!("27-200601-{}", drawn.to_uppercase())
}

/// A notification for the person, in the form that notification stores.
pub(crate) fn form() -> Form {
    Form {
        purpose: Purpose::Notification.into(),
        report_date: "2020-06-01".to_owned(),
        diagnosis_class: DiagnosisClass::Confirmed.into(),
        subject: Some(Subject {
            name_kanji: "山田 太郎".to_owned(),
            name_kana: "ヤマダ タロウ".to_owned(),
            birth_date: "1980-01-31".to_owned(),
            sex: Sex::Male.into(),
            phone: "09010000000".to_owned(),
            ..Subject::default()
        }),
        ..Form::default()
    }
}
