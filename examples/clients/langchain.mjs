// LangChain: quern as its chat model.
import { ChatOpenAI } from '@langchain/openai';

const chat = new ChatOpenAI({
  model: process.env.QUERN_MODEL_NAME ?? 'quern-14m',
  apiKey: process.env.QUERN_API_KEY ?? 'none',
  temperature: 0,
  configuration: {
    baseURL: (process.env.QUERN_URL ?? 'http://127.0.0.1:8000') + '/v1',
  },
});

for await (const chunk of await chat.stream(process.argv[2] ??
                                            'What is 17 + 25?'))
  process.stdout.write(chunk.content);
process.stdout.write('\n');
