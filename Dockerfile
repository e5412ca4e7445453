# A relay needs the host's network: thousands of published UDP ports cost a
# proxy process each, and Docker's NAT hides the clients' addresses, which the
# peer policy relies on. So run it as
#
#   docker run --network host -v turnhub:/state turnhub
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# .git stays outside: docker build --build-arg BUILD_VERSION=$(systemd/version)
ARG BUILD_VERSION
RUN make build ${BUILD_VERSION:+VERSION=$BUILD_VERSION} && mkdir /state

FROM scratch
COPY --from=build /src/bin/turnhub /turnhub
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /state /state
USER 65532:65532
ENV STATE_DIRECTORY=/state
VOLUME /state
ENTRYPOINT ["/turnhub"]
CMD ["serve"]
