use kogge_security_server::consumer::{forward::Answered, reply::to_information_system};
use kogge_security_server::logging::Logged;

fn hand_over(answer: &Logged<Answered>) {
    let _ = to_information_system(answer);
}

fn main() {}
