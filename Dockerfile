# Build: docker build -t navis-keys .
# Run:   docker run -p 8080:8080 -v navis-keys:/data --read-only navis-keys
ARG BASE=node:24-slim

FROM ${BASE} AS builder
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build

FROM ${BASE}
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080 \
    DATA_DIR=/data
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# With the optional ones: the embedded Postgres is among them.
RUN npm ci --omit=dev --ignore-scripts \
 && npm cache clean --force \
 && mkdir /data \
 && chown 1000:1000 /data
COPY drizzle ./drizzle
COPY assets ./assets
COPY --from=builder /app/dist ./dist
# Links the libraries of the embedded Postgres and sees that it runs on this base image.
RUN ["node", "-e", "import('./dist/db/embedded/programs.js').then(({ findPrograms }) => findPrograms())"]
# `node` in the base image, as a number, so that `runAsNonRoot` can be checked.
USER 1000:1000
VOLUME /data
EXPOSE 8080
# Liveness only: a container that waits for Postgres is healthy, and restarting it would not help.
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# No shell and no npm in between: SIGTERM reaches the service itself.
CMD ["node", "--enable-source-maps", "dist/main.js"]
