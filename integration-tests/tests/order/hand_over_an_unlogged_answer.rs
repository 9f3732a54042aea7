use kogge_security_server::consumer::{reply::to_information_system, verify::Verified};

fn hand_over(answer: &Verified) {
    let _ = to_information_system(answer);
}

fn main() {}
