//! `ripcord::postgres` against a server: that of `DATABASE_URL`. Without it each says that it was skipped.

mod proxy;

use proxy::Proxy;
use ripcord::postgres::{Error, UnderContext};
use ripcord::{CancelGuard, Context};
use std::future::Future;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, NoTlsStream, TlsConnect};
use tokio_postgres::{Client, Config, NoTls, Socket};

/// What would take an hour is to be stopped within, on a machine as slow as may be.
const SOON: Duration = Duration::from_secs(20);

const HOUR: &str = "SELECT pg_sleep(3600)";

const CANCELED: Option<ripcord::Error> = Some(ripcord::Error::Canceled);

fn config(test: &str) -> Option<Config> {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        // Not by a macro, whose output libtest keeps back.
        let line = format!("{test}: SKIPPED, DATABASE_URL is not set\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    };
    Some(url.parse().expect("DATABASE_URL is one"))
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}

fn address(config: &Config) -> SocketAddr {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let Some(Host::Tcp(host)) = config.get_hosts().first() else {
        panic!("DATABASE_URL names no host")
    };
    let mut addresses = (host.as_str(), port).to_socket_addrs().unwrap();
    addresses.next().unwrap()
}

/// Defines the test, with a body that is async and a configuration for the server.
macro_rules! with_server {
    ($(#[$meta:meta])* async fn $name:ident($config:ident) $body:block) => {
        $(#[$meta])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let Some($config) = config(stringify!($name)) {
                tokio::time::timeout(SOON * 4, async move $body).await.expect("it hangs");
            }
        }
    };
}

/// A second connection, that sees what the first is at.
struct Watcher {
    client: Client,
    pid: i32,
}

impl Watcher {
    async fn of(client: &Client, config: &Config) -> Self {
        let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
        Self {
            client: connect(config).await,
            pid: row.unwrap().get(0),
        }
    }

    /// `active`, `idle`, `idle in transaction`…, and the statement it is at, or was last.
    async fn activity(&self) -> (String, String) {
        let sql = "SELECT state, query FROM pg_stat_activity WHERE pid = $1";
        let row = self.client.query_one(sql, &[&self.pid]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Whether the server is at a statement that has this in it.
    async fn is_at(&self, part: &str) -> bool {
        let (state, query) = self.activity().await;
        state == "active" && query.contains(part)
    }

    /// Until it is idle. An error is told before the server has tidied up after it; a statement that was not cancelled would go on
    /// for an hour.
    async fn rests(&self) {
        while self.activity().await.0 != "idle" {
            tokio::task::yield_now().await;
        }
    }

    async fn sees(&self, part: &str) {
        while !self.is_at(part).await {
            tokio::task::yield_now().await;
        }
    }

    async fn cancels_once_it_sees(self, part: &str, guard: CancelGuard) -> Self {
        self.sees(part).await;
        guard.cancel();
        self
    }
}

/// A table of the test's own, empty.
async fn table(client: &Client, name: &str) {
    let sql = format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (i INTEGER NOT NULL)");
    client.batch_execute(&sql).await.unwrap();
}

async fn count(client: &Client, name: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {name}");
    let row = client.query_one(&sql, &[]).await;
    row.expect("the connection is usable").get(0)
}

fn ended<T>(result: &Result<T, Error>) -> Option<ripcord::Error> {
    match result {
        Err(Error::Ended(error)) => Some(*error),
        _ => None,
    }
}

with_server! {
    async fn a_cancel_ends_the_query_on_the_server_and_the_connection_goes_on(config) {
        let mut client = connect(&config).await;
        let watcher = Watcher::of(&client, &config).await;
        for _ in 0..3 {
            let (ctx, guard) = Context::background().with_cancel();
            let began = Instant::now();
            let (result, ()) = tokio::join!(client.under(&ctx, NoTls).query(HOUR, &[]), async {
                watcher.sees("pg_sleep(3600)").await;
                guard.cancel();
            });
            assert_eq!(ended(&result), CANCELED, "{result:?}");
            assert!(began.elapsed() < SOON);
            watcher.rests().await;
            let two = client.query_one("SELECT 1 + 1", &[]).await;
            assert_eq!(two.expect("it is usable").get::<_, i32>(0), 2);
            assert_eq!(ctx.child_count(), 0);
        }
    }
}

with_server! {
    async fn a_deadline_ends_every_kind_of_call(config) {
        let mut client = connect(&config).await;
        let watcher = Watcher::of(&client, &config).await;
        for call in 0..6 {
            let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(50));
            let under = client.under(&ctx, NoTls);
            let result = match call {
                0 => under.query(HOUR, &[]).await.map(drop),
                1 => under.query_one(HOUR, &[]).await.map(drop),
                2 => under.query_opt(HOUR, &[]).await.map(drop),
                3 => under.execute(HOUR, &[]).await.map(drop),
                4 => under.batch_execute(HOUR).await,
                _ => under.run(|client| async {
                    client.batch_execute("SELECT 1").await?;
                    client.batch_execute(HOUR).await
                }).await,
            };
            assert_eq!(ended(&result), Some(ripcord::Error::DeadlineExceeded), "{call}: {result:?}");
            watcher.rests().await;
        }
    }
}

with_server! {
    async fn what_is_not_cancelled_gives_what_the_server_gives(config) {
        let mut client = connect(&config).await;
        let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(3_600));
        table(&client, "gives").await;
        let inserted = client.under(&ctx, NoTls).execute("INSERT INTO gives VALUES ($1), ($2)", &[&1, &2]).await;
        assert_eq!(inserted.unwrap(), 2);
        let rows = client.under(&ctx, NoTls).query("SELECT i FROM gives ORDER BY i", &[]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>(), [1, 2]);
        let row = client.under(&ctx, NoTls).query_opt("SELECT i FROM gives WHERE i > 2", &[]).await;
        assert!(row.unwrap().is_none());
        let result = client.under(&ctx, NoTls).execute("INSERT INTO gives VALUES (NULL)", &[]).await;
        let Err(Error::Failed(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.code(), Some(&SqlState::NOT_NULL_VIOLATION));

        let tx = client.under(&ctx, NoTls).transaction_with(|tx| tx.read_only(true)).await.unwrap();
        let result = tx.execute("INSERT INTO gives VALUES (3)", &[]).await;
        let Err(Error::Failed(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
        tx.rollback().await.unwrap();
        let tx = client.under(&ctx, NoTls).transaction().await.unwrap();
        tx.batch_execute("INSERT INTO gives VALUES (3); SAVEPOINT s; INSERT INTO gives VALUES (4); ROLLBACK TO s").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&client, "gives").await, 3);
        assert_eq!(ctx.child_count(), 0);
    }
}

with_server! {
    async fn under_a_context_that_is_done_nothing_is_sent(config) {
        let mut client = connect(&config).await;
        let watcher = Watcher::of(&client, &config).await;
        client.batch_execute("SELECT 'the last'").await.unwrap();
        let (ctx, guard) = Context::background().with_cancel();
        guard.cancel();
        assert_eq!(ended(&client.under(&ctx, NoTls).query("SELECT 1", &[]).await), CANCELED);
        assert_eq!(ended(&client.under(&ctx, NoTls).batch_execute("SELECT 1").await), CANCELED);
        assert_eq!(ended(&client.under(&ctx, NoTls).transaction().await), CANCELED);
        watcher.rests().await;
        assert_eq!(watcher.activity().await.1, "SELECT 'the last'");

        let (ctx, guard) = Context::background().with_cancel();
        let tx = client.under(&ctx, NoTls).transaction().await.unwrap();
        guard.cancel();
        assert_eq!(ended(&tx.execute("SELECT 1", &[]).await), CANCELED);
        assert_eq!(ended(&tx.commit().await), CANCELED);
    }
}

with_server! {
    async fn a_transaction_is_rolled_back_by_a_cancel_a_drop_and_a_panic(config) {
        let mut client = connect(&config).await;
        table(&client, "rolled_back").await;
        let watcher = Watcher::of(&client, &config).await;
        let insert = "INSERT INTO rolled_back VALUES (1)";

        let (ctx, guard) = Context::background().with_cancel();
        let tx = client.under(&ctx, NoTls).transaction().await.unwrap();
        tx.execute(insert, &[]).await.unwrap();
        let (result, watcher) = tokio::join!(
            tx.execute("INSERT INTO rolled_back SELECT 1 FROM pg_sleep(3600)", &[]),
            watcher.cancels_once_it_sees("pg_sleep(3600)", guard),
        );
        assert_eq!(ended(&result), CANCELED, "{result:?}");
        assert_eq!(ended(&tx.commit().await), CANCELED);
        assert_eq!(count(&client, "rolled_back").await, 0);
        watcher.rests().await;

        let ctx = Context::background();
        let tx = client.under(&ctx, NoTls).transaction().await.unwrap();
        tx.execute(insert, &[]).await.unwrap();
        drop(tx);
        assert_eq!(count(&client, "rolled_back").await, 0);

        let client = Arc::new(Mutex::new(client));
        let shared = Arc::clone(&client);
        let panicked = tokio::spawn(async move {
            let ctx = Context::background();
            let mut client = shared.lock().await;
            let tx = client.under(&ctx, NoTls).transaction().await.unwrap();
            tx.execute(insert, &[]).await.unwrap();
            panic!("in the middle");
        });
        assert!(panicked.await.unwrap_err().is_panic());
        let client = client.lock().await;
        assert_eq!(count(&client, "rolled_back").await, 0);
    }
}

with_server! {
    /// By a constraint that is looked at then, and takes its time.
    async fn a_cancel_in_the_middle_of_a_commit_leaves_nothing(config) {
        let mut client = connect(&config).await;
        table(&client, "deferred").await;
        client.batch_execute("
            CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(3600); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON deferred
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()").await.unwrap();
        let watcher = Watcher::of(&client, &config).await;
        let (ctx, guard) = Context::background().with_cancel();
        let tx = client.under(&ctx, NoTls).transaction().await.unwrap();
        tx.execute("INSERT INTO deferred VALUES (1)", &[]).await.unwrap();
        let (result, watcher) = tokio::join!(tx.commit(), watcher.cancels_once_it_sees("COMMIT", guard));
        assert_eq!(ended(&result), CANCELED, "{result:?}");
        assert_eq!(count(&client, "deferred").await, 0);
        watcher.rests().await;
    }
}

with_server! {
    async fn a_commit_of_what_has_failed_is_an_error(config) {
        let mut client = connect(&config).await;
        table(&client, "failed").await;
        let (ctx, _guard) = Context::background().with_cancel();
        let tx = client.under(&ctx, NoTls).transaction().await.unwrap();
        tx.execute("INSERT INTO failed VALUES (1)", &[]).await.unwrap();
        assert!(tx.execute("INSERT INTO failed VALUES (NULL)", &[]).await.is_err());
        let result = tx.commit().await;
        let Err(Error::Failed(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
        assert_eq!(count(&client, "failed").await, 0);
    }
}

with_server! {
    /// Whatever the moment, and on many connections at once; each in a task of its own, so the futures are `Send`.
    async fn at_any_moment_the_result_says_what_was_done_and_the_next_statement_is_not_hit(config) {
        let client = connect(&config).await;
        table(&client, "moments").await;
        let mut tasks = Vec::new();
        for task in 0..8 {
            let config = config.clone();
            tasks.push(tokio::spawn(async move {
                let mut client = connect(&config).await;
                let mut outcomes = [0, 0];
                for round in 0..12 {
                    let after = Duration::from_micros(fastrand::u64(0..8_000));
                    let (ctx, _guard) = Context::background().with_timeout(after);
                    let key = task * 1_000 + round;
                    let done = insert_twice(&mut client, &ctx, key).await;
                    let sql = "SELECT count(*), pg_sleep(0.02) FROM moments WHERE i = $1";
                    let row = client.query_one(sql, &[&key]).await.expect("it was hit");
                    let rows: i64 = row.get(0);
                    match done {
                        Ok(()) => assert_eq!(rows, 2),
                        Err(error) => {
                            assert!(matches!(error, Error::Ended(_)), "{error:?}");
                            assert_eq!(rows, 0);
                        }
                    }
                    outcomes[usize::from(rows == 0)] += 1;
                }
                outcomes
            }));
        }
        let mut outcomes = [0, 0];
        for task in tasks {
            let [committed, rolled_back] = task.await.unwrap();
            outcomes = [outcomes[0] + committed, outcomes[1] + rolled_back];
        }
        println!("{} committed, {} rolled back", outcomes[0], outcomes[1]);
        assert_eq!(outcomes[0] + outcomes[1], 96);
    }
}

async fn insert_twice(client: &mut Client, ctx: &Context, key: i32) -> Result<(), Error> {
    let insert = "INSERT INTO moments VALUES ($1)";
    let tx = client.under(ctx, NoTls).transaction().await?;
    tx.execute(insert, &[&key]).await?;
    tx.execute(insert, &[&key]).await?;
    tx.commit().await
}

with_server! {
    async fn a_request_that_comes_late_does_not_hit_the_next_statement(config) {
        let proxy = Proxy::before(address(&config)).await;
        let mut client = connect(&proxy.config(&config)).await;
        let watcher = Watcher::of(&client, &config).await;
        let rules = proxy.rules();
        let (ctx, guard) = Context::background().with_cancel();
        let statement = "SELECT pg_advisory_lock(71)";
        watcher.client.batch_execute(statement).await.unwrap();
        let (result, ()) = tokio::join!(client.under(&ctx, NoTls).batch_execute(statement), async {
            watcher.sees("pg_advisory_lock(71)").await;
            guard.cancel();
            while rules.came.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            // It is on its way, and the statement comes to its end before it. Then it comes.
            watcher.client.batch_execute("SELECT pg_advisory_unlock(71)").await.unwrap();
            while watcher.is_at("pg_advisory_lock(71)").await {
                tokio::task::yield_now().await;
            }
            rules.pass.add_permits(100);
        });
        result.expect("it had come to its end, and had its effect");
        client.batch_execute("SELECT pg_sleep(0.5)").await.expect("the late request hit it");
        client.batch_execute("SELECT pg_advisory_unlock(71)").await.unwrap();
    }
}

with_server! {
    async fn a_request_that_is_lost_or_comes_before_its_statement_is_sent_again(config) {
        let proxy = Proxy::before(address(&config)).await;
        let mut client = connect(&proxy.config(&config)).await;
        let watcher = Watcher::of(&client, &config).await;
        let rules = proxy.rules();
        rules.pass.add_permits(100);
        rules.drop.store(2, Ordering::SeqCst);
        let (ctx, guard) = Context::background().with_cancel();
        let (result, watcher) = tokio::join!(
            client.under(&ctx, NoTls).batch_execute(HOUR),
            watcher.cancels_once_it_sees("pg_sleep(3600)", guard),
        );
        assert_eq!(ended(&result), CANCELED, "{result:?}");
        assert!(rules.came.load(Ordering::SeqCst) >= 3);

        // What the client says is held back until a request has gone before it.
        rules.talk.send(false).unwrap();
        let before = rules.came.load(Ordering::SeqCst);
        let (ctx, guard) = Context::background().with_cancel();
        let (result, ()) = tokio::join!(client.under(&ctx, NoTls).batch_execute(HOUR), async {
            tokio::task::yield_now().await;
            guard.cancel();
            while rules.came.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            rules.talk.send(true).unwrap();
        });
        assert_eq!(ended(&result), CANCELED, "{result:?}");
        client.batch_execute("SELECT pg_sleep(0.1)").await.expect("it is usable");
        watcher.rests().await;
    }
}

with_server! {
    async fn a_server_that_does_not_answer_is_given_up_after_the_grace(config) {
        let proxy = Proxy::before(address(&config)).await;
        let mut client = connect(&proxy.config(&config)).await;
        proxy.rules().talk.send(false).unwrap();
        let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(10));
        let began = Instant::now();
        let result = client.under(&ctx, NoTls).grace(Duration::from_millis(50)).query(HOUR, &[]).await;
        let Err(Error::Unsettled(error)) = result else { panic!("{result:?}") };
        assert_eq!(error, ripcord::Error::DeadlineExceeded);
        assert!(began.elapsed() < SOON);
    }
}

/// A maker of TLS for servers that have none: counts, and is never asked to encrypt.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

struct Refused;

impl MakeTlsConnect<Socket> for Counting {
    type Stream = NoTlsStream;
    type TlsConnect = Refused;
    type Error = std::io::Error;

    fn make_tls_connect(&mut self, _host: &str) -> std::io::Result<Refused> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Refused)
    }
}

impl TlsConnect<Socket> for Refused {
    type Stream = NoTlsStream;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<NoTlsStream>> + Send>>;

    fn connect(self, _stream: Socket) -> Self::Future {
        Box::pin(async { Err(std::io::Error::other("the server of the tests has no TLS")) })
    }
}

with_server! {
    /// Whose timeout ends the sleep that is there for a late request to hit, with the same code.
    async fn a_session_with_a_short_timeout_of_its_own_is_told_the_outcome(config) {
        let mut client = connect(&config).await;
        let watcher = Watcher::of(&client, &config).await;
        client.batch_execute("SET statement_timeout = '300ms'").await.unwrap();
        let swallows = "DO $$ BEGIN PERFORM pg_sleep(0.2); EXCEPTION WHEN query_canceled THEN NULL; END $$";
        let (ctx, guard) = Context::background().with_cancel();
        let (result, watcher) = tokio::join!(
            client.under(&ctx, NoTls).grace(Duration::from_secs(3)).batch_execute(swallows),
            watcher.cancels_once_it_sees("query_canceled", guard),
        );
        assert!(result.is_ok(), "{result:?}");
        watcher.rests().await;
    }
}

with_server! {
    async fn the_request_goes_by_the_callers_own_tls(config) {
        let mut client = connect(&config).await;
        let watcher = Watcher::of(&client, &config).await;
        let tls = Counting::default();
        let (ctx, guard) = Context::background().with_cancel();
        let (result, _) = tokio::join!(
            client.under(&ctx, tls.clone()).batch_execute(HOUR),
            watcher.cancels_once_it_sees("pg_sleep(3600)", guard),
        );
        assert_eq!(ended(&result), CANCELED, "{result:?}");
        assert!(tls.0.load(Ordering::SeqCst) >= 1);
    }
}
