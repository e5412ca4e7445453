# The image of docs/containers.md. Three ports are enough for it:
#
#   docker build -t turnhub --build-arg VERSION=$(systemd/version) .
#   docker run -d -p 80:80 -p 443:443 -p 443:443/udp -v turnhub:/state \
#     -e TURNHUB_PUBLIC_HOST=calls.example.org turnhub
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# .git stays outside, so the version has to be told.
ARG VERSION
ARG TARGETARCH
# The state's folder is the image's user's, and so is every volume that begins as its copy. Only what is copied into a folder gets
# an owner, and not a folder that is there already: so it goes by itself.
RUN deploy/image "${TARGETARCH:-$(go env GOARCH)}" "${VERSION:-$(cat VERSION)}" /image && mkdir /volume && mv /image/state /volume/

FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="turnhub" \
      org.opencontainers.image.description="STUN/TURN relay, WebRTC signaling and web pages in one binary" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /volume/ /
USER 65532:65532
ENV STATE_DIRECTORY=/state
VOLUME /state
EXPOSE 80/tcp 443/tcp 443/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=12s --start-period=15s CMD ["/turnhub", "check", "--self", "--config", "/etc/turnhub/config.yaml"]
ENTRYPOINT ["/turnhub"]
CMD ["serve", "--config", "/etc/turnhub/config.yaml"]
