//! An extension by AWS's own client: tells each event and each record of telemetry on its stdout.
use lambda_extension::{service_fn, Error, Extension, LambdaEvent, LambdaTelemetry, NextEvent, SharedService};

async fn hear(event: LambdaEvent) -> Result<(), Error> {
    match event.next {
        NextEvent::Invoke(invoke) => println!("rust: INVOKE {}", invoke.request_id),
        NextEvent::Shutdown(shutdown) => println!("rust: SHUTDOWN {}", shutdown.shutdown_reason),
    }
    Ok(())
}

async fn read(records: Vec<LambdaTelemetry>) -> Result<(), Error> {
    for telemetry in records {
        println!("rust: {:?}", telemetry.record);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    Extension::new()
        .with_events_processor(service_fn(hear))
        .with_telemetry_types(&["platform", "function"])
        .with_telemetry_buffering(lambda_extension::LogBuffering { timeout_ms: 25, ..Default::default() })
        .with_telemetry_processor(SharedService::new(service_fn(read)))
        .run()
        .await
}
