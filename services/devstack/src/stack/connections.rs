//! Ways into the stack: through the gateway, past it, and to the admin ports.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use client::{Client, Credentials};
use http_body_util::BodyExt as _;
use runtime::{
    config::TlsFiles,
    mesh::Channel,
    tls::{Tls, client_of},
};

use super::{Stack, processes::program};

impl Stack {
    /// The certificate of a process, for tests that stand in for it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tls(&self, name: &str) -> anyhow::Result<Tls> {
        Tls::load(&TlsFiles::new(
            self.certs.join("ca.pem"),
            self.certs.join(format!("{name}.pem")),
            self.certs.join(format!("{name}.key")),
        ))
    }

    /// A client of the gateway, not signed in. Of several gateways it takes any, as behind one name.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        let gateways: Vec<String> = self.of("gateway").map(|(_, gateway)| gateway.address.clone()).collect();
        if gateways.len() < 2 {
            return Client::new(&self.gateway.url, &self.gateway.ca);
        }
        let trusted = Arc::new(ArcSwap::from_pointee(client_of(&self.gateway.ca)?));
        Ok(Client::over(Channel::to_any(&gateways, "127.0.0.1", trusted)?))
    }

    /// A channel to a service past the gateway, with the certificate of a process.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn direct(&self, service: &str, as_process: &str) -> anyhow::Result<Channel> {
        let address = self.services.get(service).map(|p| p.address.clone()).context("there is no such service")?;
        let client: Arc<ArcSwap<_>> = Arc::clone(&self.tls(as_process)?.client);
        Channel::new(&address, &format!("{service}.hersys.internal"), client)
    }

    /// A demo user's credentials.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn credentials(&self, login: &str) -> anyhow::Result<Credentials> {
        let user = self.demo.users.iter().find(|user| user.credentials.login == login);
        user.map(|user| user.credentials.clone()).with_context(|| format!("there is no demo user {login}"))
    }

    /// Asks a process's admin port.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin(&self, name: &str, path: &str) -> anyhow::Result<(u16, String)> {
        let process = self.services.get(name).with_context(|| format!("there is no process {name}"))?;
        let tls = self.tls("ops")?;
        let channel =
            Channel::new(&process.admin, &format!("{}.hersys.internal", program(name)), Arc::clone(&tls.client))?;
        let request = http::Request::get(path).body(tonic::body::Body::empty())?;
        let response = tokio::time::timeout(Duration::from_secs(3), channel.send(request)).await??;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
