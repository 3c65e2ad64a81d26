//! Form 6-1 (別記様式6-1): its versions as dated rules, and what must hold of a form before it is filed.

mod changed;
mod findings;
mod items;
mod model;
mod versions;

pub(crate) use changed::changed;
pub(crate) use model::check;
