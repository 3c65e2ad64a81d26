//! Form 6-1 (別記様式6-1): its versions as dated rules, what must hold of a form before it is filed, and its definition as it is served.

mod care;
mod catalogue;
mod changed;
mod definition;
mod findings;
mod items;
mod model;
mod versions;

pub(crate) use changed::changed;
pub(crate) use definition::definition;
pub(crate) use model::{Filer, check, review};
