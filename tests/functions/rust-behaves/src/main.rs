//! A function in Rust as users write one, with every way to answer, to fail and to end. _HANDLER says which it is.

use lambda_runtime::streaming::{channel, Body, Response};
use lambda_runtime::{run, service_fn, Diagnostic, Error, LambdaEvent};
use serde_json::{json, Value};
use std::time::Duration;

#[derive(Debug)]
struct OutOfStock(&'static str);

impl From<OutOfStock> for Diagnostic {
    fn from(error: OutOfStock) -> Diagnostic {
        Diagnostic {
            error_type: "OutOfStock".into(),
            error_message: format!("{} is out of stock", error.0),
        }
    }
}

async fn hello(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let newest = event.payload["versions"]
        .as_array()
        .ok_or("no versions")?
        .iter()
        .filter_map(|version| semver::Version::parse(version.as_str()?).ok())
        .max()
        .ok_or("nothing is a version")?;
    let name = event.payload["name"].as_str().unwrap_or("world");
    Ok(json!({"greeting": format!("Hello, {name}!"), "newest": newest.to_string()}))
}

async fn own_error(_event: LambdaEvent<Value>) -> Result<Value, OutOfStock> {
    Err(OutOfStock("tea"))
}

async fn behave(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let number = event.payload["n"].as_u64().unwrap_or(0);
    match event.payload["do"].as_str().unwrap_or("") {
        "fail" => Err("asked to".into()),
        "parse" => Ok("seven".parse::<u32>()?.into()),
        "panic" => panic!("at the wits' end"),
        "exit" => std::process::exit(number as i32),
        "abort" => std::process::abort(),
        "sleep" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(Value::Null)
        }
        "hog" => hog(),
        "say" => {
            println!("to standard output");
            eprintln!("to standard error");
            Ok(Value::Null)
        }
        "long" => Ok("x".repeat(number as usize).into()),
        "context" => Ok(told(event)),
        _ => Ok(std::process::id().into()),
    }
}

fn hog() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(vec![1_u8; 1 << 20]);
    }
}

fn told(event: LambdaEvent<Value>) -> Value {
    let about = event.context;
    json!({
        "request_id": about.request_id,
        "arn": about.invoked_function_arn,
        "custom": about.client_context.as_ref().map(|given| given.custom.clone()),
        "deadline_ms": about.deadline,
        "trace": about.xray_trace_id,
        "name": about.env_config.function_name,
        "version": about.env_config.version,
        "memory_mb": about.env_config.memory,
        "log_group": about.env_config.log_group,
        "folder": std::env::current_dir().ok(),
    })
}

async fn stream(event: LambdaEvent<Value>) -> Result<Response<Body>, Error> {
    let number = event.payload["n"].as_u64().unwrap_or(0);
    let broken = event.payload["do"] == "break";
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        for left in (0..number).rev() {
            if sender.send_data(format!("piece {left}\n").into()).await.is_err() {
                return;
            }
        }
        if broken {
            sender.abort();
        }
    });
    Ok(Response::from(body))
}

async fn echo(event: LambdaEvent<Value>) -> Result<Value, Error> {
    Ok(event.payload)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::var("_HANDLER")?.as_str() {
        "hello" => run(service_fn(hello)).await,
        "behave" => run(service_fn(behave)).await,
        "own-error" => run(service_fn(own_error)).await,
        "stream" => run(service_fn(stream)).await,
        "echo" => run(service_fn(echo)).await,
        other => Err(format!("no handler is called {other}").into()),
    }
}
