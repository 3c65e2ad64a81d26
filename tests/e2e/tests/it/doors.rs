//! The ways in, as their users take them: gRPC, REST, gRPC-Web, the command line, other systems, TLS.

mod bad_input;
mod commands;
mod contract;
mod crowds;
mod limits;
mod rest;
mod surge;
mod systems;
mod tls;
