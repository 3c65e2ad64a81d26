//! What people come to do, from one end of the mesh to the other.

mod beds;
mod filing;
mod followup;
mod handover;
mod patients;
