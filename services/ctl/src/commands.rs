//! The commands, one file per noun.

pub(crate) mod audit;
mod case_desk;
pub(crate) mod cases;
pub mod contracts;
mod csv_import;
pub(crate) mod drafts;
pub(crate) mod forms;
pub(crate) mod inbox;
pub(crate) mod keys;
pub(crate) mod local_items;
pub(crate) mod messages;
pub(crate) mod notifications;
pub(crate) mod operations;
pub mod organisations;
pub(crate) mod receipts;
pub(crate) mod replay;
pub(crate) mod sessions;
pub(crate) mod statistics;
pub(crate) mod surge;
pub(crate) mod tasks;
pub(crate) mod terms;
pub mod users;
