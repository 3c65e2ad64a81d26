//! The items of a case beyond its course (別紙3), in sections: which there are is dated data; each section has its own revision and
//! every version is kept.

mod definitions;
mod item_definitions;
mod missing;
mod model;
mod store;
mod update;

pub(crate) use item_definitions::item_definitions;
pub(crate) use missing::missing;
pub(crate) use store::{ANSWERS, Stored, of_cases};
pub(crate) use update::update;

use chassis::Error;
use prost::Message as _;
use proto::{
    options::Group,
    registry::{Case as View, Findings, Section as SectionView},
};
use runtime::clock::to_proto;
use vault::Vault;

/// Shows the sections of a case, each among those of its field group.
pub(crate) fn show(vault: &Vault, view: &mut View, sections: Vec<Stored>) -> Result<(), Error> {
    for stored in sections {
        let Some(section) = definitions::latest().section(&stored.section) else { continue };
        let shown = SectionView {
            section_id: stored.section.clone(),
            etag: stored.revision.to_string(),
            answers: opened(vault, &stored)?.answers,
            update_time: Some(to_proto(stored.recorded_at)),
            organisation_id: stored.organisation.to_string(),
            on_behalf_of_id: data::text(stored.on_behalf_of),
        };
        match section.group() {
            Group::Contact => view.contact_sections.push(shown),
            Group::Clinical => view.clinical_sections.push(shown),
            Group::Epidemiology => view.epidemiology_sections.push(shown),
            _ => view.administrative_sections.push(shown),
        }
    }
    Ok(())
}

/// Among which sections a section is shown. `None` where there is none of this name.
pub(crate) fn group_of(section_id: &str) -> Option<Group> {
    definitions::latest().section(section_id).map(|section| match section.group() {
        shown @ (Group::Contact | Group::Clinical | Group::Epidemiology) => shown,
        _ => Group::Administrative,
    })
}

fn opened(vault: &Vault, stored: &Stored) -> Result<Findings, Error> {
    let plain = vault.open(ANSWERS, stored.case_id.uuid().as_bytes(), &stored.answers)?;
    Findings::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))
}
