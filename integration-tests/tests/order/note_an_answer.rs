use kogge_security_server::consumer::verify::Verified;
use kogge_security_server::logging::Effect;

/// An answer is durable before it is handed over, whatever the request's method was.
fn take_for_safe(answer: Verified) {
    let _ = Effect::of(answer);
}

fn main() {}
