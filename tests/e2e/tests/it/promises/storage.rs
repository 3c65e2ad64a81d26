//! What the database itself enforces, and what guards the pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use e2e::{World, file, filing, form, person, register};
use proto::{
    identity::Role,
    registry::{GetCaseRequest, ListCasesRequest},
};
use runtime::Shutdown;
use sqlx::{
    Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::Code;
use uuid::Uuid;

use crate::Outcome;

/// How a service's role connects, with a certificate of choice.
fn options(world: &World, database: &str, role: &str, certificate: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(world.stack.postgres.port)
        .database(database)
        .username(role)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert(world.stack.certs.join("ca.pem"))
        .ssl_client_cert(world.stack.certs.join(format!("{certificate}.pem")))
        .ssl_client_key(world.stack.certs.join(format!("{certificate}.key")))
}

#[tokio::test]
async fn no_service_opens_anothers_database() -> Outcome {
    let world = World::shared()?;
    for service in proto::SERVICES {
        for other in proto::SERVICES {
            let own = options(&world, other, &format!("{service}_app"), service);
            let opened = PgConnection::connect_with(&own).await.is_ok();
            assert_eq!(opened, service == other, "{service} opens {other}");
            // Nor by claiming to be the other.
            let disguised = options(&world, other, &format!("{other}_app"), service);
            assert_eq!(PgConnection::connect_with(&disguised).await.is_ok(), service == other, "{service} as {other}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_serves_cannot_become_who_owns() -> Outcome {
    let world = World::shared()?;
    for service in proto::SERVICES {
        let owner = format!("{service}_owner");
        let serving = PgConnection::connect_with(&options(&world, service, &owner, service)).await;
        assert!(serving.is_err(), "{service} opens its database as the owner");
        // The control: the certificate of the migration does, and as nobody else.
        let migrating = format!("{service}-migrate");
        PgConnection::connect_with(&options(&world, service, &owner, &migrating)).await?;
        let app = format!("{service}_app");
        assert!(PgConnection::connect_with(&options(&world, service, &app, &migrating)).await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn who_serves_cannot_make_or_change_a_stream() -> Outcome {
    let world = World::shared()?;
    let url = format!("tls://127.0.0.1:{}", world.stack.nats.port);
    let make = async |name: &str| {
        let bus = data::nats::connect(&url, name, &world.stack.tls(name)?).await?;
        let made = tokio::time::timeout(Duration::from_secs(2), data::nats::make_stream(&bus, "statistics", 1)).await;
        Ok::<_, anyhow::Error>(matches!(made, Ok(Ok(()))))
    };
    assert!(!make("statistics").await?, "a service changes its own stream");
    assert!(!make("registry-migrate").await?, "a deployment changes the stream of another service");
    // The control: its own deployment may.
    assert!(make("statistics-migrate").await?);
    Ok(())
}

#[tokio::test]
async fn a_service_may_write_the_audit_trail_and_never_change_it() -> Outcome {
    let world = World::shared()?;
    let mut app = PgConnection::connect_with(&options(&world, "registry", "registry_app", "registry")).await?;
    let insert = "insert into audit (rpc, record, field_groups, trace_id) values ('test', gen_random_uuid(), '{}', '')";
    app.execute(insert).await?;
    for forbidden in [
        "update audit set rpc = 'nothing happened'",
        "delete from audit",
        "truncate audit",
        "update audit_seal set seal = ''",
        "delete from audit_seal",
        "update audit_checkpoint set signature = ''",
        "delete from audit_checkpoint",
        "insert into audit_sealed default values",
        "alter table audit add column x int",
        "drop table audit",
        "update outbox set payload = ''",
        "delete from outbox",
        "update outbox_default set payload = ''",
        "delete from outbox_default",
        "create table mine (x int)",
    ] {
        let refused = app.execute(forbidden).await.unwrap_err();
        let code =
            refused.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
        assert_eq!(code, "42501", "{forbidden}");
    }
    // The same statement by the superuser goes through: it is the role that is refused.
    let mut superuser = world.sql("registry").await?;
    let mut tx = superuser.begin().await?;
    tx.execute("update audit set rpc = 'x' where rpc = 'test'").await?;
    tx.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn reads_and_writes_leave_one_audit_row_per_record() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let case = register(&clinic, person()).await?;
    let get = clinic.request(GetCaseRequest { case_id: case.case_id.clone() });
    clinic.cases().get_case(get).await?;
    let mut sql = world.sql("registry").await?;
    let acts: Vec<String> =
        sqlx::query_scalar("select rpc from audit where record = $1 and service is null order by id")
            .bind(Uuid::try_parse(&case.case_id)?)
            .fetch_all(&mut sql)
            .await?;
    assert_eq!(acts, ["RegisterCase", "GetCase"]);
    Ok(())
}

/// Runs alone: while it lasts, nothing can be audited for anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_audited_is_not_shown() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let case = register(&clinic, person()).await?;
    let get = || async {
        let request = clinic.request(GetCaseRequest { case_id: case.case_id.clone() });
        clinic.cases().get_case(request).await.map(|_| ()).map_err(|status| status.code())
    };
    let list = || async {
        let request = clinic.request(ListCasesRequest::default());
        clinic.cases().list_cases(request).await.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!((get().await, list().await), (Ok(()), Ok(())));
    let mut registry = world.sql("registry").await?;
    let mut notification = world.sql("notification").await?;
    let count = "select count(*) from notification";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut notification).await?;
    let request = filing(form(&person()));

    registry.execute("revoke insert on audit from registry_app").await?;
    notification.execute("revoke insert on audit from notification_app").await?;
    let shown = (get().await, list().await);
    let filed = file(&clinic, request.clone()).await.map(|_| ()).map_err(|status| status.code());
    let after = sqlx::query_scalar::<_, i64>(count).fetch_one(&mut notification).await;
    // Before anything is asserted: the mesh is everybody's.
    registry.execute("grant insert on audit to registry_app").await?;
    notification.execute("grant insert on audit to notification_app").await?;

    assert_eq!(shown, (Err(Code::Unavailable), Err(Code::Unavailable)));
    assert_eq!(filed, Err(Code::Unavailable));
    assert_eq!(before, after?, "nothing is filed without its audit row");
    assert_eq!((get().await, list().await), (Ok(()), Ok(())));
    file(&clinic, request).await?;
    Ok(())
}

/// sqlx 0.9.0 hands a connection whose `begin` was cancelled back to the pool inside an open transaction. What the next
/// caller writes is acknowledged, and gone with the connection.
#[tokio::test]
async fn the_pool_guard_keeps_what_a_cancelled_begin_would_lose() -> Outcome {
    let world = World::shared()?;
    let mut superuser = world.sql("statistics").await?;
    superuser.execute("create table if not exists guarded (pool text); grant all on guarded to statistics_app").await?;
    let connect = || options(&world, "statistics", "statistics_app", "statistics");
    let guarded = database(&world, world.stack.postgres.port).connect().await?;
    let bare = PgPoolOptions::new().max_connections(1).connect_with(connect()).await?;
    for (name, pool) in [("guarded", &guarded), ("bare", &bare)] {
        // The state a cancelled `begin` leaves behind.
        pool.acquire().await?.execute("BEGIN").await?;
        sqlx::query("insert into guarded values ($1)").bind(name).execute(pool).await?;
        pool.close().await;
    }
    let kept: Vec<String> = sqlx::query_scalar("select pool from guarded").fetch_all(&mut superuser).await?;
    superuser.execute("drop table guarded").await?;
    assert_eq!(kept, ["guarded"], "the bare pool loses its acknowledged row");
    Ok(())
}

/// PostgreSQL goes away in the middle of a process's start, as in the fault test; nobody but an operator would start it again.
#[tokio::test]
async fn a_starting_process_waits_for_its_database_and_not_for_a_wrong_name() -> Outcome {
    let world = World::shared()?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let flaky = database(&world, listener.local_addr()?.port());
    let behind = world.stack.postgres.port;
    let hung_up = Arc::new(AtomicUsize::new(0));
    let mut proxy = JoinSet::new();
    proxy.spawn(hangs_up_three_times(listener, behind, Arc::clone(&hung_up)));
    let shutdown = Shutdown::default();
    let pool = data::pool::patiently(&shutdown, || flaky.connect()).await?;
    let answered: i32 = sqlx::query_scalar("select 1").fetch_one(&pool).await?;
    assert_eq!((answered, hung_up.load(Ordering::Acquire)), (1, 3));

    let wrong = data::pool::Database { name: "nowhere".to_owned(), ..database(&world, behind) };
    let waiting = data::pool::patiently(&shutdown, || wrong.connect());
    let refused = tokio::time::timeout(Duration::from_secs(30), waiting).await?;
    assert!(refused.is_err(), "a wrong name does not mend itself");
    Ok(())
}

/// In front of PostgreSQL.
async fn hangs_up_three_times(listener: TcpListener, behind: u16, hung_up: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut open = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await?;
        if hung_up.load(Ordering::Acquire) < 3 {
            hung_up.fetch_add(1, Ordering::AcqRel);
            // The request is read first: the client then sees the end of the stream, as when a server dies, and no refusal.
            let _ = near.read(&mut [0; 8]).await?;
            continue;
        }
        open.spawn(async move {
            let mut far = TcpStream::connect(("127.0.0.1", behind)).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}

fn database(world: &World, port: u16) -> data::pool::Database {
    data::pool::Database {
        address: format!("127.0.0.1:{port}"),
        name: "statistics".to_owned(),
        role: "statistics_app".to_owned(),
        ca: world.stack.certs.join("ca.pem"),
        cert: world.stack.certs.join("statistics.pem"),
        key: world.stack.certs.join("statistics.key"),
        connections: 1,
    }
}
