// Vercel's AI SDK: .chat(), since quern speaks chat completions.
import { createOpenAI } from '@ai-sdk/openai';
import { streamText } from 'ai';

const quern = createOpenAI({
  baseURL: (process.env.QUERN_URL ?? 'http://127.0.0.1:8000') + '/v1',
  apiKey: process.env.QUERN_API_KEY ?? 'none',
});

const { textStream } = streamText({
  model: quern.chat(process.env.QUERN_MODEL_NAME ?? 'quern-14m'),
  prompt: process.argv[2] ?? 'What is 17 + 25?',
  temperature: 0,
});
for await (const text of textStream)
  process.stdout.write(text);
process.stdout.write('\n');
