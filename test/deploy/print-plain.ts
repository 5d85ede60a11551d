import { copyFileSync, writeFileSync } from 'node:fs'
import { chart, renderText } from './helm.ts'

const head = `# Navis Keys without Helm: kubectl create namespace navis-keys && kubectl apply -f deploy/kubernetes.yaml
# It needs the Secrets navis-keys-database (key url) and navis-keys-tokens (key management): see deploy/README.md. Put your image in.
# Printed from the chart by \`npm run deploy:render\`. For another namespace, secrets or settings, render it anew.
`

// A chart can only read files within its folder.
copyFileSync('deploy/prometheus/navis-keys.rules.yaml', `${chart}/files/navis-keys.rules.yaml`)
copyFileSync('deploy/grafana/navis-keys.json', `${chart}/files/navis-keys.json`)
const text = renderText('--skip-tests', '--values', 'deploy/kubernetes-values.yaml')
writeFileSync('deploy/kubernetes.yaml', `${head}${text}`)
