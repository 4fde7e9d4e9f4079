// OpenAI's client: a question, its answer as it is made.
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: (process.env.QUERN_URL ?? 'http://127.0.0.1:8000') + '/v1',
  apiKey: process.env.QUERN_API_KEY ?? 'none',
});
const [model] = (await client.models.list()).data;

const stream = await client.chat.completions.create({
  model: model.id,
  messages: [{ role: 'user', content: process.argv[2] ?? 'What is 17 + 25?' }],
  temperature: 0,
  stream: true,
});
for await (const chunk of stream)
  process.stdout.write(chunk.choices[0]?.delta?.content ?? '');
process.stdout.write('\n');
