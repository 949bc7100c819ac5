#[path = "../../examples/18_propagation.rs"]
mod propagation;

use propagation::{Directory, Failure, OrderService, Service, handle, process_all};
use ripcord::{Context, Error};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap()
}

fn with_orders(directory: &Directory, payments: &Service, mail: &Service) -> OrderService {
    let service = OrderService::new(&directory.0, payments.address, mail.address);
    for id in ["1", "2", "3"] {
        let root = Context::background();
        service.orders.save(&root, id, "pending").unwrap();
    }
    service
}

fn state(service: &OrderService, order: &str) -> String {
    let root = Context::background();
    service.orders.load(&root, order).unwrap()
}

#[test]
fn the_notification_outlives_the_request_and_carries_its_id() {
    propagation::main();
    runtime().block_on(async {
        let (hold, answer) = Context::background().with_cancel();
        let mut payments = Service::start("paid", None).await.unwrap();
        let mut mail = Service::start("sent", Some(hold)).await.unwrap();
        let directory = Directory::create("outlives").unwrap();
        let service = with_orders(&directory, &payments, &mail);

        let (connection, client) = Context::background().with_cancel();
        let notification = handle(&service, &connection, "req-7", "1").await.unwrap();
        client.cancel(); // the request is over, and its client gone
        assert_eq!(state(&service, "1"), "paid");
        let line = mail.lines.recv().await.unwrap();
        assert_eq!(line, "confirm 1 request=req-7 operation=process_order");
        assert!(!notification.is_finished());

        answer.cancel();
        assert_eq!(notification.await.unwrap().unwrap(), "sent");
        let line = payments.lines.recv().await.unwrap();
        assert_eq!(line, "charge 1 request=req-7 operation=process_order");
    });
}

#[test]
fn a_client_that_goes_while_the_bank_is_asked_ends_the_request_there() {
    runtime().block_on(async {
        let (hold, _answer) = Context::background().with_cancel();
        let mut payments = Service::start("paid", Some(hold)).await.unwrap();
        let mut mail = Service::start("sent", None).await.unwrap();
        let directory = Directory::create("ends").unwrap();
        let service = with_orders(&directory, &payments, &mail);

        let (connection, client) = Context::background().with_cancel();
        let gone = async {
            payments.lines.recv().await.unwrap();
            client.cancel();
        };
        let request = handle(&service, &connection, "req-8", "1");
        let (ended, ()) = tokio::join!(request, gone);
        assert!(matches!(ended, Err(Failure::Ended(Error::Canceled))));
        assert_eq!(state(&service, "1"), "pending");
        assert!(mail.lines.try_recv().is_err(), "nobody was notified");
    });
}

#[test]
fn a_job_leaves_out_what_fails_and_stops_where_it_is_cancelled() {
    runtime().block_on(async {
        let payments = Service::start("paid", None).await.unwrap();
        let mail = Service::start("sent", None).await.unwrap();
        let directory = Directory::create("job").unwrap();
        let service = with_orders(&directory, &payments, &mail);

        let (job, guard) = Context::background().with_cancel();
        let paid = process_all(&service, &job, &["1", "no such order", "2"]).await;
        assert_eq!(paid, ["1", "2"]);
        guard.cancel();
        assert!(process_all(&service, &job, &["3"]).await.is_empty());
        assert_eq!(state(&service, "3"), "pending");
    });
}
