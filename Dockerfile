# One image with the one binary; the role is the command. Build: docker build -t kogge .
#   docker run --rm kogge security-server run --help
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package kogge

FROM docker.io/library/debian:bookworm-slim
RUN useradd --system --home-dir /var/lib/kogge --create-home kogge
COPY --from=build /src/target/release/kogge /usr/local/bin/kogge
USER kogge
WORKDIR /var/lib/kogge
ENTRYPOINT ["/usr/local/bin/kogge"]
CMD ["--help"]
