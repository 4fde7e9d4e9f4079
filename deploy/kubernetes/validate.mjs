// node validate.mjs FILE [--config]: each manifest of a file against the schema
// that Kubernetes publishes for its kind, and what ties them together. --config
// prints the configuration of quern that they carry.
import { readFileSync } from 'node:fs';
import yaml from 'js-yaml';

const docs = yaml.loadAll(readFileSync(process.argv[2], 'utf8'));
const faults = [];

for (const doc of docs) {
  const group = doc.apiVersion.includes('/') ? doc.apiVersion : 'v1';
  const kinds = await import('kubernetes-models/' + group);
  try {
    new kinds[doc.kind](doc).validate();
  } catch (e) {
    faults.push(`${doc.kind}: ${e.message}`);
  }
}

const of = (kind) => docs.find((d) => d.kind === kind);
const pod = of('Deployment').spec.template;
const labels = JSON.stringify(pod.metadata.labels);
const selectors = {
  Deployment: of('Deployment').spec.selector.matchLabels,
  Service: of('Service').spec.selector,
  PodDisruptionBudget: of('PodDisruptionBudget').spec.selector.matchLabels,
  NetworkPolicy: of('NetworkPolicy').spec.podSelector.matchLabels,
};
for (const [kind, selector] of Object.entries(selectors))
  if (JSON.stringify(selector) !== labels)
    faults.push(`${kind}: selects ${JSON.stringify(selector)}, pods are ${labels}`);
if (of('HorizontalPodAutoscaler').spec.scaleTargetRef.name !==
    of('Deployment').metadata.name)
  faults.push('HorizontalPodAutoscaler: scales something else');
const config = JSON.parse(of('ConfigMap').data['serving.json']);
const [container] = pod.spec.containers;
if (container.ports[0].containerPort !== config.port)
  faults.push('Deployment: the port is not that of the configuration');
const sleep = Number(container.lifecycle.preStop.exec.command[1]);
if (pod.spec.terminationGracePeriodSeconds <= sleep + config.drain_timeout)
  faults.push('Deployment: killed before it has drained');

if (process.argv[3] === '--config')
  console.log(of('ConfigMap').data['serving.json']);
else
  console.log(faults.length ? faults.join('\n') : `${docs.length} manifests`);
process.exit(faults.length ? 1 : 0);
