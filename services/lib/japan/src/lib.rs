//! What Japan writes in its own way: kana, era dates, local government codes, and the IDs handed to patients.

pub mod access_id;
pub mod age;
pub mod date;
pub mod municipality;
pub mod name;
pub mod order;
pub mod person;
pub mod phone;
pub mod text;
