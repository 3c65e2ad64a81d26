//! 代行入力: a centre enters what an institution tells. Both names are recorded, how it was told, and when.

use access::OrganisationId;
use proto::{
    identity::{OrganisationKind as Kind, Rights},
    registry::{Channel, Entry},
};
use runtime::{clock, problem::why};
use time::OffsetDateTime;

use crate::{Base, Call, Error};

/// What is entered for somebody else, and how it was told. The default is what callers enter for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The institution.
    pub by: Option<OrganisationId>,
    /// How it told.
    pub channel: Channel,
    /// When, where it is entered later.
    pub at: Option<OffsetDateTime>,
}

/// Reads for whom a caller enters.
///
/// An institution that may enter data itself does so, unless it told it by telephone, FAX or on a visit: then the record says how.
///
/// # Errors
/// When the caller is not a centre, when the institution is in another prefecture or neither tests nor treats, and when it was told
/// in the future.
pub fn told<M>(base: &Base, call: &Call<M>, entry: Option<&Entry>) -> Result<Told, Error> {
    read(base, call, entry, (is_centre, centre_only), false)
}

/// The same of a record that the institution made itself: cases and their notifications go on to centres of other prefectures. That it
/// is the one that made the record, the caller of this checks.
///
/// # Errors
/// As [`told`], wherever the institution lies.
pub fn told_by_whoever_made_it<M>(base: &Base, call: &Call<M>, entry: Option<&Entry>) -> Result<Told, Error> {
    read(base, call, entry, (is_centre, centre_only), true)
}

/// The same of what those who look for beds (入院調整) are told: a centre, and also a prefecture, whose staff speak with the facilities.
///
/// # Errors
/// As [`told`], and when the caller is neither a centre nor a prefecture.
pub fn told_while_coordinating<M>(base: &Base, call: &Call<M>, entry: Option<&Entry>) -> Result<Told, Error> {
    let coordinators_only = || {
        Error::Denied(why(
            "COORDINATOR_ONLY",
            "代行入力を行えるのは保健所又は都道府県に限られます。",
            "Only a health centre or a prefecture may enter data on behalf of others.",
        ))
    };
    read(base, call, entry, (|kind| is_centre(kind) || kind == Kind::Prefecture, coordinators_only), false)
}

fn centre_only() -> Error {
    Error::Denied(why(
        "HEALTH_CENTRE_ONLY",
        "代行入力を行えるのは保健所に限られます。",
        "Only a health centre may enter data on behalf of others.",
    ))
}

fn is_centre(kind: Kind) -> bool {
    matches!(kind, Kind::HealthCentre | Kind::City)
}

fn read<M>(
    base: &Base,
    call: &Call<M>,
    entry: Option<&Entry>,
    (may_enter, refused): (impl Fn(Kind) -> bool, impl Fn() -> Error),
    anywhere: bool,
) -> Result<Told, Error> {
    let Some(entry) = entry else { return Ok(Told::default()) };
    let at = entry.told_time.as_ref().map(|time| {
        clock::from_proto(time)
            .filter(|at| *at <= call.now)
            .ok_or_else(|| Error::invalid("entry.told_time", "未来の日時です", "must not be in the future"))
    });
    let told = Told { by: None, channel: data::code(entry.channel), at: at.transpose()? };
    if entry.on_behalf_of_id.is_empty() {
        return Ok(told);
    }

    let caller = &call.caller;
    if !may_enter(caller.kind) {
        return Err(refused());
    }
    let fits = |kind| {
        matches!(
            kind,
            Kind::Clinic | Kind::Hospital | Kind::Laboratory | Kind::QuarantineStation | Kind::LodgingFacility
        )
    };
    let institution = OrganisationId::parse(&entry.on_behalf_of_id)
        .ok()
        .and_then(|id| base.directory.get(id))
        .filter(|institution| fits(institution.kind) && (anywhere || institution.prefecture == caller.prefecture))
        .ok_or_else(|| {
            let (ja, en) = if anywhere {
                ("医療機関等を指定してください", "must be an institution that tests or treats")
            } else {
                ("同じ都道府県にある医療機関等を指定してください", "must be an institution in your prefecture")
            };
            Error::invalid("entry.on_behalf_of_id", ja, en)
        })?;
    let enters = institution.rights == Rights::Entry && institution.is_open(call.today());
    if enters && told.channel == Channel::Unspecified {
        return Err(Error::invalid(
            "entry.channel",
            "入力権限のある機関の代行入力には、連絡の方法（電話、FAX、訪問など）が必要です",
            "is required: the institution may enter data itself, so say how it told this",
        ));
    }
    Ok(Told { by: Some(institution.id), ..told })
}
