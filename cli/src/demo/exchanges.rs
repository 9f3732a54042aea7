//! What the demo asks through the exchange, as an agency's backend would: plain HTTP to its own security server.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Method;

use super::instance::Instance;
use super::plain_http::{self, Answer};
use super::say;

/// An information system of the consuming agency.
pub(super) struct Backend<'a> {
    instance: &'a Instance,
}

impl<'a> Backend<'a> {
    pub(super) fn new(instance: &'a Instance) -> Self {
        Self { instance }
    }

    /// The request of the `curl` line; what came back, for people.
    ///
    /// # Errors
    /// The exchange fails.
    pub(super) async fn example(&self) -> anyhow::Result<String> {
        let answer = self.ask(Method::GET, EXAMPLE, "demo-example", Bytes::new()).await?;
        let mut text = format!("  HTTP {}\n", answer.status);
        for name in ["content-type", "x-road-id", "x-road-service", "x-road-request-hash"] {
            text.push_str(&format!("  {name}: {}\n", answer.header(name)));
        }
        text.push_str(&format!("\n  {}", answer.text().chars().take(600).collect::<String>()));
        Ok(text)
    }

    /// A GET with a query, a POST with a JSON body and a POST of 5 MiB; their message ids.
    ///
    /// # Errors
    /// An exchange fails.
    pub(super) async fn three_exchanges(&self) -> anyhow::Result<Vec<String>> {
        let person = self.first_person().await;
        let query = serde_json::json!({"ids": [person]}).to_string();
        let attachment: Vec<u8> = (0..ATTACHMENT_BYTES).map(|index| (index * 131 % 251) as u8).collect();
        let requests = [
            (Method::GET, EXAMPLE, "demo-get", Bytes::new()),
            (Method::POST, "/query", "demo-post-json", Bytes::from(query)),
            (Method::POST, "/attachments", "demo-post-5mib", Bytes::from(attachment)),
        ];
        let mut ids = Vec::new();
        for (method, path, id, body) in requests {
            let bytes = body.len();
            let answer = self.ask(method.clone(), path, id, body).await?;
            say(&format!(
                "{method} {path} with {bytes} bytes: HTTP {}, {} bytes back",
                answer.status,
                answer.body.len()
            ));
            ids.push(id.to_owned());
        }
        Ok(ids)
    }

    /// The id of somebody in the built-in register; another register knows nobody by it, which is an answer as well.
    async fn first_person(&self) -> String {
        super::people::all().first().map(|person| person.id.clone()).unwrap_or_default()
    }

    async fn ask(&self, method: Method, path: &str, id: &str, body: Bytes) -> anyhow::Result<Answer> {
        let url = format!("{}/r1/{}{path}", self.instance.consumer, self.instance.service);
        let content_type =
            if path == "/attachments" { "application/octet-stream" } else { "application/json" };
        let mut headers = vec![("X-Road-Client", self.instance.client), ("X-Road-Id", id)];
        if !body.is_empty() {
            headers.push(("Content-Type", content_type));
        }
        let answer =
            plain_http::send(method, &url, &headers, body).await.with_context(|| format!("exchange {id}"))?;
        let fault = answer.header("x-road-error");
        ensure!(fault.is_empty(), "exchange {id} was refused: {}", answer.text());
        ensure!(answer.header("x-road-id") == id, "exchange {id} was answered with another id");
        Ok(answer)
    }
}

/// What the `curl` line asks for.
pub(super) const EXAMPLE: &str = "?family_name=Petersen&limit=2";
const ATTACHMENT_BYTES: u32 = 5 * 1024 * 1024;
