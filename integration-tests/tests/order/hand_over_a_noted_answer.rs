use kogge_security_server::consumer::{reply::to_information_system, verify::Verified};
use kogge_security_server::logging::Noted;

fn hand_over(answer: &Noted<Verified>) {
    let _ = to_information_system(answer);
}

fn main() {}
