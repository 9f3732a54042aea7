//! How long it takes until a chain answers for the first time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::audit::Answered;
use crate::chain::Chain;
use crate::load::head_of;
use crate::{BenchError, Stop};

/// Asks again and again, each time with a number of its own, until an exchange is answered as it should be; how long that took since `start`.
///
/// # Errors
/// There is no answer within half a minute, or somebody asked to stop.
pub fn until_answered(
    chain: &Chain,
    start: Instant,
    answered: &mut Answered,
    stop: &Stop,
) -> Result<Duration, BenchError> {
    loop {
        let number = answered.next();
        let outcome = ask(chain, number);
        let elapsed = start.elapsed();
        match outcome {
            Ok(()) => {
                answered.enter_unmeasured(chain, number..number + 1);
                return Ok(elapsed);
            }
            Err(_) if stop.asked() => return Err(BenchError::Interrupted),
            Err(reason) if elapsed > WAIT_MAX => {
                return Err(BenchError::Unfit { name: chain.name.clone(), reason });
            }
            // What became of this one is not known: its records, if any, are not looked for.
            Err(_) => answered.skip_to(number + 1),
        }
        thread::sleep(POLL);
    }
}

fn ask(chain: &Chain, number: u64) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(chain.address).map_err(told)?;
    stream.set_read_timeout(Some(WAIT_MAX)).map_err(told)?;
    let mut request = Vec::new();
    chain.requests.write(&mut request, number);
    stream.write_all(&request).map_err(told)?;
    let (mut answer, mut piece) = (Vec::new(), [0; PIECE_BYTES]);
    loop {
        let count = stream.read(&mut piece).map_err(told)?;
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        match head_of(&answer)? {
            Some((200, head, body)) if answer.len() as u64 >= head as u64 + body => {
                let right = body == chain.requests.answer_bytes() as u64;
                return if right { Ok(()) } else { Err(format!("a body of {body} bytes")) };
            }
            Some((status, ..)) if status != 200 => return Err(format!("HTTP {status}")),
            _ if count == 0 => return Err("the connection was closed instead of an answer".to_owned()),
            _ => {}
        }
    }
}

const POLL: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_secs(30);
const PIECE_BYTES: usize = 16 * 1024;
