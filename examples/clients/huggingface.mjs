// Hugging Face's client, with quern as the endpoint.
import { InferenceClient } from '@huggingface/inference';

const client = new InferenceClient(process.env.QUERN_API_KEY ?? 'none', {
  endpointUrl: (process.env.QUERN_URL ?? 'http://127.0.0.1:8000') + '/v1',
});

const stream = client.chatCompletionStream({
  model: 'quern-14m',
  messages: [{ role: 'user', content: process.argv[2] ?? 'What is 17 + 25?' }],
  temperature: 0,
});
for await (const chunk of stream)
  process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
process.stdout.write('\n');
