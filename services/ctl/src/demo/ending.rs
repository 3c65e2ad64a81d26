//! ⑤ Release by the criteria, with the reason; and a person who moves.

use proto::{
    followup::EvaluateReleaseRequest,
    registry::{AcceptTransferRequest, GetCaseRequest, OfferTransferRequest, Outcome, RecordOutcomeRequest, Relation},
};
use tonic::Code;

use super::{
    Cases, Patient,
    stage::{Stage, Who, request_id},
};

/// Plays the fifth step.
pub(crate) async fn play(stage: &mut Stage, cases: &Cases) -> anyhow::Result<()> {
    stage.act("⑤ 解除基準の確認と転帰", "⑤ Release criteria and outcome")?;
    released(stage, &cases.home).await?;
    ended(stage, &cases.hospital, "2020-06-15").await?;
    stage.counts(|_, change| change.released >= 2).await?;

    stage.act("居所の移動と保健所間の移管", "A person moves: hand-over between centres")?;
    moved(stage, &cases.lodging).await?;
    ministry_sees_nobody(stage, &cases.lodging).await?;
    // The prefecture's row moves with the person; the nation's sum does not.
    stage.counts(|who, change| matches!(who, Who::Ministry) || change.lodging <= -1).await
}

async fn released(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let nurse = stage.who("osaka-nurse")?;
    for day in ["2020-06-11", "2020-06-12"] {
        let request = EvaluateReleaseRequest { case_id: patient.case_id.clone(), release_date: day.to_owned() };
        let answer = nurse.release().evaluate_release(nurse.request(request)).await?.into_inner();
        let (mark_ja, mark_en) = if answer.met { ("満たす", "met") } else { ("満たさない", "not met") };
        let conditions_ja: Vec<String> =
            answer.conditions.iter().map(|c| format!("{}{}", if c.holds { "○" } else { "×" }, c.ja)).collect();
        let conditions_en: Vec<String> =
            answer.conditions.iter().map(|c| format!("{} {}", if c.holds { "yes:" } else { "no:" }, c.en)).collect();
        stage.tell(
            Who::Centre,
            format_args!("{day} の判定：{mark_ja}（{}）{}", answer.source, conditions_ja.join("、")),
            format_args!("on {day}: {mark_en} ({}): {}", answer.source, conditions_en.join("; ")),
        )?;
    }
    ended(stage, patient, "2020-06-12").await
}

async fn ended(stage: &Stage, patient: &Patient, day: &str) -> anyhow::Result<()> {
    let nurse = stage.who("osaka-nurse")?;
    let request = RecordOutcomeRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        outcome: Outcome::Released.into(),
        outcome_date: day.to_owned(),
        ..RecordOutcomeRequest::default()
    };
    nurse.course().record_outcome(nurse.request(request)).await?;
    stage.tell(
        Who::Centre,
        format_args!("{}さんの転帰（解除）を入力しました。健康観察も終了します。", patient.name),
        format_args!("records the outcome of {}; the daily reports end.", patient.name),
    )
}

async fn moved(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let (old, new) = (stage.who("osaka-nurse")?, stage.who("minato-nurse")?);
    let offer = OfferTransferRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        etag: String::new(),
        to_centre_id: stage.organisation("minato-centre")?,
        reason: "東京都港区の実家で療養を続ける".to_owned(),
    };
    old.transfers().offer_transfer(old.request(offer)).await?;
    let get = || GetCaseRequest { case_id: patient.case_id.clone() };
    let seen = new.cases().get_case(new.request(get())).await?.into_inner();
    stage.tell(
        Who::NewCentre,
        format_args!("移管の申し出「{}」が届き、症例の全体が見えます。", seen.transfer.unwrap_or_default().reason),
        "has the offer and sees the whole case.",
    )?;
    let accept =
        AcceptTransferRequest { request_id: request_id(), case_id: patient.case_id.clone(), etag: String::new() };
    new.transfers().accept_transfer(new.request(accept)).await?;
    let seen = old.cases().get_case(old.request(get())).await?.into_inner();
    let responsible = seen
        .grants
        .iter()
        .filter(|g| g.relation == i32::from(Relation::ResponsibleCentre) && g.until_time.is_none())
        .count();
    stage.tell(
        Who::Centre,
        format_args!("引き継ぎ後も閲覧できます。担当は常に1か所です（現在 {responsible}）。"),
        format_args!("still sees the case; exactly {responsible} centre is responsible at any moment."),
    )
}

async fn ministry_sees_nobody(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let analyst = stage.who("analyst")?;
    let request = analyst.request(GetCaseRequest { case_id: patient.case_id.clone() });
    let refused = analyst.cases().get_case(request).await.err().map(|status| status.code());
    anyhow::ensure!(refused == Some(Code::PermissionDenied), "the ministry saw a person");
    stage.tell(
        Who::Ministry,
        "個人の情報を開こうとしても拒否されます。数字だけが届きます。",
        "is refused when it tries to open a person; figures are all it gets.",
    )
}
