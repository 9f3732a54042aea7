use kogge_message_log::NewMessage;
use kogge_security_server::logging::Evident;

struct Mine;

impl Evident for Mine {
    fn record(&self) -> NewMessage {
        unreachable!()
    }
}

fn main() {}
