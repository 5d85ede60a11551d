import { licencesPage } from './licences-page.ts'

process.stdout.write(licencesPage())
