//! Local items (任意入力項目): what a centre, a city or a prefecture asks beyond the form. A form answers those of its area.

mod answers;
mod area;
mod define;
#[cfg(test)]
mod fixture;
mod list;
mod model;
mod store;

pub(crate) use answers::check;
pub(crate) use area::area;
pub(crate) use define::define;
pub(crate) use list::list;
pub(crate) use model::LocalItem;
pub(crate) use store::in_force;
