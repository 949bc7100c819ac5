#[path = "../../examples/12_service_discovery.rs"]
mod discovery;

use discovery::{CHECK, DiscoverError, Registry, Service};
use ripcord::retry::RetryError;
use ripcord::{Context, Engine, Error};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn the_example_runs() {
    discovery::main();
}

#[test]
fn all_are_asked_at_once_so_that_one_passing_of_the_limit_ends_all_checks() {
    block_on(async {
        let (services, _guard) = Context::background().with_cancel();
        let registry = Arc::new(Registry::default());
        let mut well = Vec::new();
        for service in [
            Service::Silent,
            Service::Well,
            Service::Dead,
            Service::Silent,
            Service::Well,
        ] {
            let address = service.start(&services).await.unwrap();
            registry.register("users", address);
            if matches!(service, Service::Well) {
                well.push(address);
            }
        }
        let (engine, clock) = Engine::builder().manual_clock().unwrap();
        let ctx = engine.background();
        let found = tokio::spawn({
            let (registry, ctx) = (Arc::clone(&registry), ctx.clone());
            async move { registry.healthy(&ctx, "users").await }
        });
        let ended = || {
            (
                registry.answered.load(Ordering::SeqCst),
                registry.refused.load(Ordering::SeqCst),
            )
        };
        while ended() != (2, 1) {
            tokio::task::yield_now().await;
        }
        assert!(!found.is_finished(), "the silent ones are waited for");
        clock.advance(CHECK);
        assert_eq!(found.await.unwrap(), Ok(well));
    });
}

#[test]
fn one_that_has_to_warm_up_is_asked_again() {
    block_on(async {
        let (ctx, _guard) = Context::background().with_cancel();
        let registry = Registry::default();
        let address = Service::Warming(2).start(&ctx).await.unwrap();
        registry.register("orders", address);
        assert_eq!(
            registry.healthy(&ctx, "orders").await,
            Err(DiscoverError::NoneWell(1))
        );
        assert_eq!(registry.discover(&ctx, "orders").await.unwrap(), [address]);
        assert_eq!(registry.answered.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn what_is_not_there_is_said_at_once_and_what_is_dead_after_five_attempts() {
    block_on(async {
        let ctx = Context::background();
        let registry = Registry::default();
        let unknown = registry.discover(&ctx, "nobody").await.unwrap_err();
        assert!(
            matches!(unknown, RetryError::Permanent { attempts: 1, .. }),
            "{unknown}"
        );
        registry.register("dead", Service::Dead.start(&ctx).await.unwrap());
        let dead = registry.discover(&ctx, "dead").await.unwrap_err();
        assert!(
            matches!(dead, RetryError::Exhausted { attempts: 5, .. }),
            "{dead}"
        );
        assert!(dead.to_string().ends_with("none of 1 is well"), "{dead}");
    });
}

#[test]
fn a_caller_that_is_gone_is_not_kept() {
    block_on(async {
        let (services, _guard) = Context::background().with_cancel();
        let registry = Registry::default();
        registry.register("silent", Service::Silent.start(&services).await.unwrap());
        let (ctx, guard) = services.with_cancel();
        guard.cancel();
        assert_eq!(
            registry.healthy(&ctx, "silent").await,
            Err(DiscoverError::Ended(Error::Canceled))
        );
        let ended = registry.discover(&ctx, "silent").await.unwrap_err();
        assert!(matches!(
            ended,
            RetryError::Done {
                attempts: 0,
                error: Error::Canceled,
                ..
            }
        ));
    });
}
